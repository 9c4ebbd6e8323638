"""Files: the artifacts that jobs make, and the uploads that they read. In a folder, or in an object store."""
