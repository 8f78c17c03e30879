#include "eval/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* White space beyond ASCII. */
static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80",
                                   "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84",
                                   "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
                                   "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
                                   "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};

static bool narrow(char c) {
    return isspace((unsigned char)c) || (c >= 0x1c && c <= 0x1f);
}

size_t text_strip_end(const char *s, size_t n) {
    for (;;) {
        size_t before = n;
        while (n > 0 && narrow(s[n - 1])) n--;
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
            size_t len = strlen(wide[i]);
            if (n >= len && memcmp(s + n - len, wide[i], len) == 0) n -= len;
        }
        if (n == before) return n;
    }
}

size_t text_strip_start(const char *s, size_t n) {
    size_t at = 0;
    for (;;) {
        size_t before = at;
        while (at < n && narrow(s[at])) at++;
        for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
            size_t len = strlen(wide[i]);
            if (n - at >= len && memcmp(s + at, wide[i], len) == 0) at += len;
        }
        if (at == before) return at;
    }
}

/* One character at s: its bytes, and its code point, negative for a broken byte. */
static size_t character(int32_t *code, const char *s, size_t n) {
    utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, code);
    if (got > 0) return (size_t)got;
    *code = -1;
    return 1;
}

int64_t text_length(const char *s, size_t n) {
    int64_t count = 0;
    int32_t code;
    for (size_t i = 0; i < n; count++) i += character(&code, s + i, n - i);
    return count;
}

Status text_capitalize(char **out, const char *s) {
    size_t n = strlen(s), at = 0;
    char *p = *out = malloc(4 * n + 1); /* a character of one byte may become one of up to four */
    if (!p) return status_error(E_ENV, "out of memory");
    while (at < n) {
        int32_t code;
        size_t len = character(&code, s + at, n - at);
        if (code < 0) {
            *p++ = s[at];
        } else {
            bool dotted = at > 0 && code == 0x130; /* its lower case has two characters */
            code = at == 0 ? utf8proc_totitle(code) : dotted ? 'i' : utf8proc_tolower(code);
            p += utf8proc_encode_char(code, (utf8proc_uint8_t *)p);
            if (dotted) p += utf8proc_encode_char(0x307, (utf8proc_uint8_t *)p);
        }
        at += len;
    }
    *p = 0;
    return OK;
}
