"""API extensions that this package brings: Neutron finds one class in each file, named after it."""
