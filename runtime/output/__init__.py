"""The files of decomposed pictures and clips: names, sets that appear complete or not at all, previews, sidecars."""
