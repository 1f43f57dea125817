"""Files of learned codecs: whole-number nets and tables, an entropy coder over them, and what a file looks like."""
