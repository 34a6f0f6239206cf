"""Delivery: what was decided reaches AppsFlyer (design §6). Sees the model, never the decision or the host."""
