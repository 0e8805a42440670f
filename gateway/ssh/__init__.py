"""SSH's rooms in the gateway: legs on Conch, the gate, login, opening, sitting, dialling."""
