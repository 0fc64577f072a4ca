"""What is measured: references, shapes, precisions, predicted memory, loading with proof."""
