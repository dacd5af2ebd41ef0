// Arrays out of a page's payload: one deflated block of bytes with a JSON description of what lies where.

// As in hwkit.explorer.payload: four bytes are five digits, the lowest first.
const DIGITS = Array.from({ length: 92 }, (_, i) => i + 35).filter((code) => !"$&'<>\\`".includes(String.fromCharCode(code)));

/** Bytes of text; its first digit is how many bytes were added to make fours. */
export function decodeText(text) {
  const values = new Uint8Array(128);
  DIGITS.forEach((code, value) => (values[code] = value));
  const words = new Uint32Array((text.length - 1) / 5);
  for (let i = 0, at = 1; i < words.length; i++) {
    let word = 0;
    for (let digit = 4; digit >= 0; digit--) word = word * 85 + values[text.charCodeAt(at + digit)];
    words[i] = word;
    at += 5;
  }
  return new Uint8Array(words.buffer, 0, 4 * words.length - values[text.charCodeAt(0)]);
}

/** Float32Array of half-precision numbers, given as their bits in a Uint16Array. */
export function fromHalf(bits) {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = ((bits[i] & 0x8000) << 16) | ((bits[i] & 0x7fff) << 13);
  const numbers = new Float32Array(words.buffer);
  // The exponent of a half starts at 2^-14, that of a float at 2^-126: subnormal halves are right, too.
  for (let i = 0; i < numbers.length; i++) numbers[i] *= 2 ** 112;
  return numbers;
}

const TYPES = { uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, float16: Uint16Array, float32: Float32Array };

/** What a page was made with: `about`, any JSON, and `array(name)`, numbers by name. */
export class Payload {
  constructor(about, bytes) {
    this.about = about;
    this.bytes = bytes;
    this.decoded = new Map();
  }

  /** The payload in text that hwkit.explorer.payload wrote. */
  static async decode(text) {
    const stream = new Blob([decodeText(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const length = new DataView(bytes.buffer).getUint32(0, true);
    const about = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    return new Payload(about, bytes.subarray(4 + length));
  }

  has(name) {
    return name in this.about.arrays;
  }

  /** Length of each axis of an array. */
  shape(name) {
    return this.about.arrays[name].shape;
  }

  /** An array by name: integers as they are, numbers with a fraction as Float32Array. */
  array(name) {
    if (!this.decoded.has(name)) this.decoded.set(name, this.#decode(name));
    return this.decoded.get(name);
  }

  #decode(name) {
    const { dtype, shape, offset, scale } = this.about.arrays[name];
    const length = shape.reduce((product, size) => product * size, 1);
    const start = this.bytes.byteOffset + offset;
    const Type = TYPES[dtype];
    const raw = new Type(this.bytes.buffer.slice(start, start + length * Type.BYTES_PER_ELEMENT));
    if (dtype === "float16") return fromHalf(raw);
    if (!scale) return raw;
    // Whole numbers with a factor for each row.
    const factors = this.array(scale);
    const numbers = new Float32Array(length);
    const row = length / factors.length;
    for (let i = 0, r = 0; r < factors.length; r++) {
      for (const end = i + row; i < end; i++) numbers[i] = raw[i] * factors[r];
    }
    return numbers;
  }
}
