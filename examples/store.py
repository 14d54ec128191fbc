"""A store keeps responses on disk, whole also after a kill; the key is any digest of what decides the text."""

from hashlib import sha256

from sprint_lmeval import Response, Store

store, key = Store.open("answers.sqlite"), sha256(b"model, prompt, candidate, settings").digest()
store.put(key, Response("It is 7.", truncated=False, new_tokens=4))
print(store.get(key).text)
# It is 7.
