"""The provider's batch endpoint: requests bought by the file, collected within a day."""
