"""Those who look at jobs: sites that show them, a browser, and crowds of open streams."""
