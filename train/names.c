#include "train/names.h"

#include <string.h>

enum { MAX_WORD = 63 }; /* chosen: our longest key has 24 characters */

static int min2(int a, int b) {
    return a < b ? a : b;
}

static int distance(const char *a, int na, const char *b, int nb) {
    int rows[3][MAX_WORD + 1];
    for (int j = 0; j <= nb; j++) rows[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            row[j] = min2(min2(above[j] + 1, row[j - 1] + 1), above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = min2(row[j], above2[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

const char *names_nearest(const char *word, const char *const *names) {
    size_t n = strlen(word);
    if (n > MAX_WORD) return NULL;
    const char *best = NULL;
    int best_distance = 0;
    for (; *names; names++) {
        size_t m = strlen(*names);
        if (m > MAX_WORD) continue;
        int d = distance(word, (int)n, *names, (int)m);
        int longer = (int)(n > m ? n : m);
        if (d > (longer / 3 > 2 ? longer / 3 : 2) || d >= longer) continue;
        if (!best || d < best_distance) {
            best = *names;
            best_distance = d;
        }
    }
    return best;
}

bool names_is_choice(const char *choices, const char *word) {
    size_t n = strlen(word);
    if (n == 0 || strchr(word, '|')) return false;
    for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || p[n] == 0)) return true;
    return false;
}
