"""Models as they are loaded: CLIP, DreamSim, the miniature's embedder, diffusers pipelines, architectures as data."""
