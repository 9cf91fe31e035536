// Leaves looked up in registers of AVX-512, as floats; see kernel.hpp, which includes this.

inline void pass(const float* thresholds, uint32_t half, const float* x, uint32_t* passed) {
    const __m512i step = _mm512_set1_epi32(int(half));
    for (int n = 0; n < kCells; n += 16) {
        const __m512i at = _mm512_load_si512(passed + n);
        const __m512 threshold = _mm512_i32gather_ps(at, thresholds + half - 1, 4);
        const __mmask16 beyond = _mm512_cmp_ps_mask(threshold, _mm512_load_ps(x + n), _CMP_LE_OQ);
        _mm512_store_si512(passed + n, _mm512_mask_add_epi32(at, beyond, at, step));
    }
}

// 16 floats, of which byte 0 of each stands first, then byte 1, ... `stride` apart.
GELISOL_INLINE __m512 floats_of(const uint8_t* planes, int stride) {
    __m512i bits = _mm512_setzero_si512();
    for (int k = 3; k >= 0; --k) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(planes + k * stride));
        bits = _mm512_or_si512(_mm512_slli_epi32(bits, 8), _mm512_cvtepu8_epi32(bytes));
    }
    return _mm512_castsi512_ps(bits);
}

GELISOL_INLINE void add_two(Bits* codes, const uint8_t* first, const uint8_t* second, float* sums) {
    to_nibbles(codes);
    to_nibbles(codes + 4);
    const __m512 a = floats_of(first, 16), b = floats_of(second, 16);
    for (int i = 0; i < 8; ++i) {  // a permutation looks at the lowest four bits of each lane
        for (int j = 0; j < 4; ++j) {
            float* sum = sums + 16 * (4 * i + j);
            const __m512 x = _mm512_permutexvar_ps(_mm512_srli_epi32(__m512i(codes[j]), 4 * i), a);
            const __m512 y = _mm512_permutexvar_ps(_mm512_srli_epi32(__m512i(codes[4 + j]), 4 * i), b);
            _mm512_store_ps(sum, _mm512_add_ps(_mm512_add_ps(_mm512_load_ps(sum), x), y));
        }
    }
}

GELISOL_INLINE void add_one(Bits* codes, const uint8_t* planes, int32_t leaves, float* sums) {
    to_bytes(codes);
    __m512 table[4];
    for (int part = 0; part < (leaves > 32 ? 4 : 2); ++part) table[part] = floats_of(planes + 16 * part, 64);
    for (int i = 0; i < 4; ++i) {  // a permutation of two tables looks at the lowest five bits
        for (int j = 0; j < 8; ++j) {
            const __m512i code = _mm512_srli_epi32(__m512i(codes[j]), 8 * i);
            __m512 x = _mm512_permutex2var_ps(table[0], code, table[1]);
            if (leaves > 32) {
                const __mmask16 upper = _mm512_test_epi32_mask(code, _mm512_set1_epi32(32));
                x = _mm512_mask_mov_ps(x, upper, _mm512_permutex2var_ps(table[2], code, table[3]));
            }
            float* sum = sums + 16 * (8 * i + j);
            _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), x));
        }
    }
}
