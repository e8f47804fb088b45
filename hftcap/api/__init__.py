"""The library's face: what `import hftcap` offers, each in a module of its own."""
