"""Rotation of one secret: what each step does, which errors it can end in, and what people are told."""
