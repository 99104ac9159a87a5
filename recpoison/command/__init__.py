"""What listens to the user: configuration, its checks, overrides, help, machine, one job."""
