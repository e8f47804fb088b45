"""Other tools' capture formats: `importer.import_capture` turns their files into a capture.

Payload bytes and receive times are taken over exactly. What cannot be read is counted and noted, never left out
silently; a file of which nothing can be read is refused.
"""
