"""Models asked on a cluster: workers on many machines answer, this process keeps the account."""
