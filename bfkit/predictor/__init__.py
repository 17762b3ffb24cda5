"""From text to steps: networks, their training, the plateau (Eq. 7), stop rules, the advisor."""
