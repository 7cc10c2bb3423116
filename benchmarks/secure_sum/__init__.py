"""Seconds and memory of a regional round without training."""
