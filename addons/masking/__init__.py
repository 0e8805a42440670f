"""Masking: the plan, the strategies, and the addon that asks for both."""
