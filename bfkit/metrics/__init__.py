"""Pictures to scores: L-SNR, D-SIM and I-CLIP (Section 3.2), and the inception score (Section 4.3)."""
