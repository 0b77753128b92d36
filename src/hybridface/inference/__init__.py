"""What reads pictures with an exported model; never imports torch."""
