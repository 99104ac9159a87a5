"""Networks on user-item pairs that learn labelled edges in full batches, and gradients through that learning."""
