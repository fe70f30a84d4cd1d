"""The core group's kinds other than pods and replication controllers."""
