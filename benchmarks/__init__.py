"""Speed, memory and gas, each run by a command."""
