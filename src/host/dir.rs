//! Directories as descriptors: no path that somebody else controls is walked by name.
