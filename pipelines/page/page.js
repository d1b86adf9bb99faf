"use strict";
// A click on the map leads to the client who lies there.
const map = document.getElementById("map");
if (map) {
  map.addEventListener("click", event => {
    const box = map.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    location.href = `/near?x=${x.toFixed(4)}&y=${y.toFixed(4)}`;
  });
}
// Another colour needs no button where scripts run.
const colouring = document.getElementById("colouring");
if (colouring) {
  colouring.querySelector("button").hidden = true;
  colouring.querySelector("select").addEventListener("change", () => colouring.submit());
}
