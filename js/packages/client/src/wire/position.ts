/** Compares positions of one binding, which only grow (D6). What cannot be compared is never called a repeat. */

const POSITION = /^([0-9A-Za-z]+)\.([0-9a-f]+)\.([0-9a-f]+)(?:\.|$)/

/** Tell whether a change at `position` has been told to somebody who stands at `last`. */
export function isRepeat(position: string, last: string | null): boolean {
  if (last === null) return false
  if (position === last) return true
  const one = POSITION.exec(position)
  const other = POSITION.exec(last)
  if (!one || !other || one[1] !== other[1]) return false
  return (compareHex(one[2], other[2]) || compareHex(one[3], other[3])) <= 0
}

/** Compare numbers without leading zeros: by length, then by text, because an LSN is larger than a double is exact. */
function compareHex(one = "", other = ""): number {
  if (one.length !== other.length) return one.length - other.length
  return one < other ? -1 : one > other ? 1 : 0
}
