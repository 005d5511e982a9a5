"""Where images come from: names, files, folders, downloads, and the cache of what does not fit in memory."""
