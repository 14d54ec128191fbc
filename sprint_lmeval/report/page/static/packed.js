// Packed parts of the page: gzip in base64, each unpacked when it is needed. Nothing is ever fetched: a page that was
// opened from disk may not, so a block that stands beside the page is loaded as a script.

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function packedBeside(id) {
  const script = el("script", { src: `responses/${id}.js`, nonce: document.querySelector("script[type=module]").nonce });
  await new Promise((resolve, reject) => {
    Object.assign(script, { onload: resolve, onerror: () => reject(new Error(`responses/${id}.js is not beside the page`)) });
    document.head.append(script);
  });
  script.remove();
  return script.packed;
}

async function unpacked(id) {
  const packed = byId(id)?.textContent ?? (await packedBeside(id));
  const stream = new Blob([bytesOf(packed)]).stream();
  return new Response(stream.pipeThrough(new DecompressionStream("gzip")));
}

async function unpackedJson(id) {
  return (await unpacked(id)).json();
}

async function libraryAddress(id) {
  const source = await (await unpacked(id)).arrayBuffer();
  return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
}

async function loadModule(id) {
  return import(await libraryAddress(id));
}

async function loadScript(id) {
  const address = await libraryAddress(id);
  await new Promise((resolve, reject) => {
    document.head.append(el("script", { src: address, onload: resolve, onerror: reject }));
  });
}
