"""The manager: one acting per cluster, it places instances and deletes those whose time is over."""
