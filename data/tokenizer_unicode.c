/* Policy: characters for the tokenizer. Classes come from committed tables, not from the Unicode version of a
 * library, because ids must be those of the reference everywhere. UTF-8 is checked once at the door; all
 * later code reads it unchecked. */
#include "data/tokenizer_impl.h"
#include "data/tokenizer_unicode_tables.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* Eight characters at a time: the private-use planes alone are 130,000. */
static void mark(uint8_t *classes, const Range *r, size_t n, uint8_t bit) {
    const uint64_t bits = bit * UINT64_C(0x0101010101010101);
    for (size_t i = 0; i < n; i++) {
        uint32_t c = r[i].first;
        for (uint64_t word; r[i].last - c >= 8; c += 8) {
            memcpy(&word, classes + c, sizeof word);
            word |= bits;
            memcpy(classes + c, &word, sizeof word);
        }
        for (; c <= r[i].last; c++) classes[c] |= bit;
    }
}
#define MARK(ranges, bit) mark(classes, ranges, sizeof ranges / sizeof *ranges, bit)

uint8_t *tokenizer_classes(void) {
    uint8_t *classes = calloc(0x110000, 1);
    if (!classes) return NULL;
    MARK(letter_ranges, CLASS_LETTER);
    MARK(number_ranges, CLASS_NUMBER);
    MARK(numeric_ranges, CLASS_NUMERIC);
    MARK(space_ranges, CLASS_SPACE);
    MARK(dropped_ranges, CLASS_DROPPED);
    MARK(chinese_ranges, CLASS_CHINESE);
    MARK(accent_ranges, CLASS_ACCENT);
    MARK(punctuation_ranges, CLASS_PUNCTUATION);
    return classes;
}

bool tokenizer_is_word_char(const Tokenizer *t, uint32_t c) {
    if (t->classes[c] & CLASS_LETTER) return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        break;
    }
    /* Join_Control and Other_Alphabetic symbols */
    return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
           (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

/* Length of the well-formed sequence at s, or 0 with the length of the maximal ill-formed part in *bad. */
static size_t sequence(const uint8_t *s, size_t n, size_t *bad) {
    uint8_t c = s[0];
    *bad = 1;
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint8_t low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < len; i++) {
        if (i == n || s[i] < low || s[i] > high) {
            *bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

size_t tokenizer_invalid_utf8(const char *s, size_t n) {
    const uint8_t *u = (const uint8_t *)s;
    size_t i = 0, bad;
    while (i < n) {
        uint64_t word;
        if (n - i >= 8 && (memcpy(&word, u + i, 8), (word & 0x8080808080808080ull) == 0)) {
            i += 8;
            continue;
        }
        size_t len = sequence(u + i, n - i, &bad);
        if (len == 0) return i;
        i += len;
    }
    return n;
}

Status tokenizer_lossy_utf8(char **out, size_t *out_n, const char *s, size_t n) {
    const uint8_t *u = (const uint8_t *)s;
    size_t total = 0, bad;
    for (size_t i = 0; i < n;) {
        size_t len = sequence(u + i, n - i, &bad);
        total += len ? len : 3;
        i += len ? len : bad;
    }
    char *text = malloc(total + 1);
    if (!text) return status_error(E_ENV, "out of memory (%zu bytes of text)", total);
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        size_t len = sequence(u + i, n - i, &bad);
        memcpy(text + k, len ? s + i : "\xef\xbf\xbd", len ? len : 3);
        k += len ? len : 3;
        i += len ? len : bad;
    }
    text[total] = 0;
    *out = text;
    *out_n = total;
    return OK;
}

uint32_t tokenizer_read_utf8(const char *s, size_t *i) {
    const uint8_t *u = (const uint8_t *)s + *i;
    if (u[0] < 0x80) return *i += 1, u[0];
    if (u[0] < 0xe0) return *i += 2, (uint32_t)(u[0] & 31) << 6 | (u[1] & 63);
    if (u[0] < 0xf0) return *i += 3, (uint32_t)(u[0] & 15) << 12 | (uint32_t)(u[1] & 63) << 6 | (u[2] & 63);
    *i += 4;
    return (uint32_t)(u[0] & 7) << 18 | (uint32_t)(u[1] & 63) << 12 | (uint32_t)(u[2] & 63) << 6 |
           (u[3] & 63);
}

uint32_t tokenizer_read_utf8_back(const char *s, size_t *i) {
    do *i -= 1;
    while (*i > 0 && ((uint8_t)s[*i] & 0xc0) == 0x80);
    size_t at = *i;
    return tokenizer_read_utf8(s, &at);
}

size_t tokenizer_write_utf8(char out[4], uint32_t c) {
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* GPT-2's alphabet: printable Latin-1 bytes are themselves, the other 68 follow from U+0100 in order. */
int tokenizer_alphabet_byte(uint32_t c) {
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255)) return (int)c;
    if (c < 256 || c >= 256 + 68) return -1;
    c -= 256;
    if (c <= 32) return (int)c;
    if (c <= 32 + 34) return (int)(c - 33 + 127); /* 127..160 */
    return 173;
}

size_t tokenizer_complete_utf8(const char *bytes, size_t n) {
    const uint8_t *u = (const uint8_t *)bytes;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        size_t bad, len = n - back;
        if ((u[len] & 0xc0) == 0x80) continue;
        /* a lead byte: unfinished if what follows is a proper beginning of a sequence */
        return u[len] >= 0xc2 && u[len] <= 0xf4 && sequence(u + len, back, &bad) == 0 && bad == back ? len
                                                                                                     : n;
    }
    return n;
}
