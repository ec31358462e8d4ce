// What is wider than a phone can be moved with the keyboard too.
document.addEventListener("DOMContentLoaded", () => {
  for (const part of document.querySelectorAll(".bd-article pre, .bd-article table")) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
});
