"""Thought: arrays and records in, arrays and records out; nothing here touches the world."""
