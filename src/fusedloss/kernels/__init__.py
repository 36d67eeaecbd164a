"""Every loop of the library, one per shape of loss and target."""
