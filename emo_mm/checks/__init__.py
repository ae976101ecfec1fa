"""Checks that stop a mistake before it costs hours of training."""
