// Leaves looked up in registers of NEON, four byte planes of 16 or 64 leaves at a time; see kernel.hpp, which includes this.

inline void pass(const float* thresholds, uint32_t half, const float* x, uint32_t* passed) {
    for (int n = 0; n < kCells; ++n) passed[n] += thresholds[passed[n] + half - 1] <= x[n] ? half : 0;
}

GELISOL_INLINE void add_two(Bits* codes, const uint8_t* first, const uint8_t* second, float* sums) {
    to_bytes(codes);
    uint8x16_t a[4], b[4];
    for (int k = 0; k < 4; ++k) a[k] = vld1q_u8(first + 16 * k), b[k] = vld1q_u8(second + 16 * k);
    const auto leaves = [](const uint8x16_t* planes, uint8x16_t code, float32x4_t* values) {
        const uint8x16_t p0 = vqtbl1q_u8(planes[0], code), p1 = vqtbl1q_u8(planes[1], code);
        const uint8x16_t p2 = vqtbl1q_u8(planes[2], code), p3 = vqtbl1q_u8(planes[3], code);
        const uint16x8_t l01 = vreinterpretq_u16_u8(vzip1q_u8(p0, p1)), h01 = vreinterpretq_u16_u8(vzip2q_u8(p0, p1));
        const uint16x8_t l23 = vreinterpretq_u16_u8(vzip1q_u8(p2, p3)), h23 = vreinterpretq_u16_u8(vzip2q_u8(p2, p3));
        values[0] = vreinterpretq_f32_u16(vzip1q_u16(l01, l23));
        values[1] = vreinterpretq_f32_u16(vzip2q_u16(l01, l23));
        values[2] = vreinterpretq_f32_u16(vzip1q_u16(h01, h23));
        values[3] = vreinterpretq_f32_u16(vzip2q_u16(h01, h23));
    };
    for (int j = 0; j < 8; ++j) {
        for (int half = 0; half < 2; ++half) {
            const uint8x16_t code = vld1q_u8(reinterpret_cast<const uint8_t*>(codes + j) + 16 * half);
            float32x4_t x[4], y[4];
            leaves(a, vandq_u8(code, vdupq_n_u8(0x0f)), x);
            leaves(b, vshrq_n_u8(code, 4), y);
            for (int v = 0; v < 4; ++v) {
                float* sum = sums + 32 * j + 8 * v + 4 * half;
                vst1q_f32(sum, vaddq_f32(vaddq_f32(vld1q_f32(sum), x[v]), y[v]));
            }
        }
    }
}

GELISOL_INLINE void add_one(Bits* codes, const uint8_t* planes, int32_t leaves, float* sums) {
    to_bytes(codes);
    (void)leaves;
    uint8x16x4_t table[4];
    for (int k = 0; k < 4; ++k)
        for (int part = 0; part < 4; ++part) table[k].val[part] = vld1q_u8(planes + 64 * k + 16 * part);
    for (int j = 0; j < 8; ++j) {
        for (int half = 0; half < 2; ++half) {
            const uint8x16_t code = vld1q_u8(reinterpret_cast<const uint8_t*>(codes + j) + 16 * half);
            const uint8x16_t p0 = vqtbl4q_u8(table[0], code), p1 = vqtbl4q_u8(table[1], code);
            const uint8x16_t p2 = vqtbl4q_u8(table[2], code), p3 = vqtbl4q_u8(table[3], code);
            const uint16x8_t l01 = vreinterpretq_u16_u8(vzip1q_u8(p0, p1)), h01 = vreinterpretq_u16_u8(vzip2q_u8(p0, p1));
            const uint16x8_t l23 = vreinterpretq_u16_u8(vzip1q_u8(p2, p3)), h23 = vreinterpretq_u16_u8(vzip2q_u8(p2, p3));
            const uint16x8_t values[4] = {vzip1q_u16(l01, l23), vzip2q_u16(l01, l23), vzip1q_u16(h01, h23), vzip2q_u16(h01, h23)};
            for (int v = 0; v < 4; ++v) {
                float* sum = sums + 32 * j + 8 * v + 4 * half;
                vst1q_f32(sum, vaddq_f32(vld1q_f32(sum), vreinterpretq_f32_u16(values[v])));
            }
        }
    }
}
