"""What is unlike the normal examples: one-class scorers, transformations, a choice by normals alone."""
