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
TEST_SHARE, TEST_PROMPTS = 0.1, 1_839
DISSIMILARITY = 0.75  # Eq. 1: prompts are kept while their CLIP cosine similarity stays below this

# Section 3.2: metrics compare with the picture at the last step count
TARGET_STEPS = 129
GAUSSIAN_SIGMA = 1.0  # Eq. 2

# Section 3.3
LSTM_LAYERS, LSTM_HIDDEN = 2, 512
MLP_SIZES = (1024, 128, 1)
BATCH, RATE = 32, 1e-4
EPOCHS = MappingProxyType({"l_snr": 25, "d_sim": 25, "i_clip": 50})
TRAINING_MINUTES = MappingProxyType({"l_snr": 30, "d_sim": 30, "i_clip": 60})  # on an A100; the appendix
PREDICTION_SECONDS = 0.004  # for one prompt

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

# Table 2: quality over TFLOPs (e-2), mean over prompts; L-SNR and D-SIM as 1 - value
TABLE_2 = MappingProxyType(
    {
        "OURS": {"l_snr": 0.46, "d_sim": 1.38, "i_clip": 1.48},
        "UNIFORM": {"l_snr": 0.42, "d_sim": 1.28, "i_clip": 1.36},
        "REFERENCE": {"l_snr": 0.25, "d_sim": 0.25, "i_clip": 0.25},
        "DDIM": {"l_snr": 0.41, "d_sim": 1.17, "i_clip": 1.32},
        "DeepCache": {"l_snr": 0.43, "d_sim": 1.27, "i_clip": 1.35},
        "DistriFusion": {"l_snr": 0.44, "d_sim": 0.87, "i_clip": 1.22},
        "EulerAncestral": {"l_snr": 0.38, "d_sim": 1.0, "i_clip": 1.26},
    }
)
# the standard errors stated beside them; REFERENCE has none
TABLE_2_ERROR = MappingProxyType(
    {
        "OURS": {"l_snr": 0.013, "d_sim": 0.011, "i_clip": 0.012},
        "UNIFORM": {"l_snr": 0.0020, "d_sim": 0.0018, "i_clip": 0.0017},
        "DDIM": {"l_snr": 0.0021, "d_sim": 0.0025, "i_clip": 0.0020},
        "DeepCache": {"l_snr": 0.0020, "d_sim": 0.0018, "i_clip": 0.0017},
        "DistriFusion": {"l_snr": 0.0021, "d_sim": 0.0031, "i_clip": 0.0026},
        "EulerAncestral": {"l_snr": 0.0018, "d_sim": 0.0026, "i_clip": 0.0024},
    }
)
TFLOPS = MappingProxyType({"OURS": 68.0, "UNIFORM": 67.0, "REFERENCE": 394.0})  # Section 4.2
RELATIVE_QUALITY = MappingProxyType({"l_snr": 0.066, "d_sim": 0.084, "i_clip": 0.087})  # Eq. 9, Figure 8a
RELATIVE_QUALITY_ERROR = MappingProxyType({"l_snr": 0.008, "d_sim": 0.009, "i_clip": 0.009})
SD2_TFLOPS = 4.298  # counted here, not stated there: one guided evaluation of Stable Diffusion 2's UNet at 768 pixels
SECONDS = MappingProxyType({"OURS": (2.89, 0.87), "REFERENCE": (8.00, 0.039)})  # Figure 8b: mean and spread, RTX 3090
INCEPTION = MappingProxyType({"OURS": 27.9, "UNIFORM": 27.9, "REFERENCE": 28.7})  # Section 4.3

# Section 4.4: percent of trials in which OURS was chosen, and the error stated
CHOSEN = MappingProxyType({"UNIFORM": (60.3, 3.9), "REFERENCE": (35.2, 8.4)})
PARTICIPANTS = MappingProxyType({"UNIFORM": 72, "REFERENCE": 78})
TRIALS = 100
