/** Bytes that a text takes as UTF-8. A lone surrogate counts as the three bytes of U+FFFD, as Node writes it. */
export const byteLength = (text: string): number => {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    const isPair = unit >= 0xd800 && unit < 0xdc00 && /^[\udc00-\udfff]/.test(text.charAt(at + 1));
    // A pair is four bytes out of two units.
    if (isPair) at += 1;
  }
  return bytes;
};
