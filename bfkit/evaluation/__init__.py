"""How good it is: Eq. 8 and 9, oracles, rules, Tables 1 and 2, reliability, sensitivity."""
