"""What the paper states, as data: BudgetFusion, arXiv 2412.05780.

Nothing here is measured by this code; every number carries the section or table it stands in.
"""

from types import MappingProxyType
from typing import Literal, get_args

Metric = Literal["l_snr", "d_sim", "i_clip"]
METRICS: tuple[Metric, ...] = get_args(Metric)
LABELS = MappingProxyType({"l_snr": "L-SNR", "d_sim": "D-SIM", "i_clip": "I-CLIP"})

# Section 3.1
STEP_COUNTS = (1, 2, 3, 5, 9, 17, 22, 27, 33, 42, 65, 129)
SEEDS = 4
PROMPTS = 18_384
IMAGES = 882_432
IMAGE_SIZE = 768
TEST_SHARE = 0.1
DISSIMILARITY = 0.75  # Eq. 1: prompts are kept while their CLIP cosine similarity stays below this

# Section 3.2: metrics compare with the picture at the last step count
TARGET_STEPS = 129
GAUSSIAN_SIGMA = 1.0  # Eq. 2

# Section 3.3
LSTM_LAYERS, LSTM_HIDDEN = 2, 512
MLP_SIZES = (1024, 128, 1)
BATCH, RATE = 32, 1e-4
EPOCHS = MappingProxyType({"l_snr": 25, "d_sim": 25, "i_clip": 50})

# Section 3.4, Eq. 7
WEIGHTS = MappingProxyType({"l_snr": 0.3, "d_sim": 0.2, "i_clip": 0.5})

# Section 4
REFERENCE_STEPS = 65

# Table 1: mean absolute error of the predicted curves
TABLE_1 = MappingProxyType(
    {
        "OURS": {"l_snr": 0.026, "d_sim": 0.037, "i_clip": 0.031},
        "OURS w/o t-encoding": {"l_snr": 0.059, "d_sim": 0.239, "i_clip": 0.134},
        "MLP + Tanh": {"l_snr": 0.068, "d_sim": 0.241, "i_clip": 0.137},
    }
)
