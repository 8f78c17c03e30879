/* Runs a libFuzzer entry over a directory of inputs: replay DIR. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include <dirent.h>

static void run(const char *path) {
    char *text;
    size_t n;
    Status s = file_read(&text, &n, path, 1 << 20);
    CHECK(status_is_ok(s), "%s", status_message(s));
    uint8_t *data = malloc(n ? n : 1); /* without file_read's NUL, so that reading on is seen */
    CHECK(data, "out of memory");
    memcpy(data, text, n);
    LLVMFuzzerTestOneInput(data, n);
    free(data);
    free(text);
}

int main(int argc, char **argv) {
    struct dirent **list;
    int n = argc == 2 ? scandir(argv[1], &list, NULL, alphasort) : -1, runs = 0;
    CHECK(n >= 0, "usage: replay DIR");
    for (int i = 0; i < n; i++) {
        char *path = path_join(argv[1], list[i]->d_name);
        CHECK(path, "out of memory");
        if (*list[i]->d_name != '.') {
            run(path);
            runs++;
        }
        free(path);
        free(list[i]);
    }
    free(list);
    printf("%d inputs\n", runs);
    return runs > 0 ? 0 : 1;
}
