"""What stands in for AWS and for the servers on one's own machine."""
