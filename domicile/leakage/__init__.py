"""What a job's models and updates tell of single rows, measured by attacking them: evidence, and no proof of safety."""
