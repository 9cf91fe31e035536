// Leaves looked up in memory, cell by cell; see kernel.hpp, which includes this.

inline void pass(const float* thresholds, uint32_t half, const float* x, uint32_t* passed) {
    for (int n = 0; n < kCells; ++n) passed[n] += thresholds[passed[n] + half - 1] <= x[n] ? half : 0;
}

GELISOL_INLINE void add_two(Bits* codes, const uint8_t* first, const uint8_t* second, float* sums) {
    to_bytes(codes);
    float a[16], b[16];
    for (int i = 0; i < 16; ++i) {
        uint32_t x = 0, y = 0;
        for (int k = 3; k >= 0; --k) x = x << 8 | first[16 * k + i], y = y << 8 | second[16 * k + i];
        std::memcpy(a + i, &x, 4);
        std::memcpy(b + i, &y, 4);
    }
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(codes);
    for (int n = 0; n < kCells; ++n) {
        const uint8_t code = bytes[kBytes * bit_of(n) + byte_of(n)];
        sums[n] = (sums[n] + a[code & 15]) + b[code >> 4];
    }
}

GELISOL_INLINE void add_one(Bits* codes, const uint8_t* planes, int32_t leaves, float* sums) {
    to_bytes(codes);
    float table[64];
    for (int i = 0; i < 64 && i < 2 * leaves; ++i) {  // codes are below twice the number of leaves
        uint32_t bits = 0;
        for (int k = 3; k >= 0; --k) bits = bits << 8 | planes[64 * k + i];
        std::memcpy(table + i, &bits, 4);
    }
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(codes);
    for (int n = 0; n < kCells; ++n) sums[n] += table[bytes[kBytes * bit_of(n) + byte_of(n)]];
}
