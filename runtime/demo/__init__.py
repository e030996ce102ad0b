"""Parts of the browser demo `python -m runtime.app`, one idea a file. Only `interface` and the tabs import Gradio."""
