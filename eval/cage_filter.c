/* The seccomp filter: everything is allowed but two lists. A denied call gives EPERM where an honest program
 * or the standard library may try it, and ends the process where only an attack would. */
#include "eval/cage_internal.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sockets; leaving the group that gets killed; signalling; memory that no rlimit counts. */
static const char *const refused[] = {
    "socket",          "setsid",        "setpgid",       "kill",        "pidfd_send_signal",
    "rt_sigqueueinfo", "shmget",        "semget",        "msgget",      "mq_open",
    "chroot",          "memfd_create",  "memfd_secret",  "personality", "fanotify_init",
    "syslog",          "quotactl",      "acct",          "sethostname", "setdomainname",
    "settimeofday",    "clock_settime", "clock_adjtime", "adjtimex",
};
static const char *const deadly[] = {
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "kcmp",
    "pidfd_getfd",
    "mount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "unshare",
    "setns",
    "keyctl",
    "add_key",
    "request_key",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "open_by_handle_at",
    "name_to_handle_at",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "reboot",
    "swapon",
    "swapoff",
    "iopl",
    "ioperm",
    "vhangup",
    "process_madvise",
};

static int add_calls(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int call = seccomp_syscall_resolve_name(names[i]);
        if (call < 0) continue; /* not a call of this architecture, or newer than the library */
        int err = seccomp_rule_add(ctx, action, call, 0);
        if (err) return err;
    }
    return 0;
}

static int add_rules(scmp_filter_ctx ctx) {
    static const uint32_t spaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                      CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
    int err = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!err) err = add_calls(ctx, SCMP_ACT_ERRNO(EPERM), refused, sizeof refused / sizeof *refused);
    if (!err) err = add_calls(ctx, SCMP_ACT_KILL_PROCESS, deadly, sizeof deadly / sizeof *deadly);
    /* asyncio wants a pair of Unix sockets; no other family has any use */
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socketpair), 1,
                               SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    /* clone3 hides its flags from a filter; libc falls back to clone */
    if (!err) err = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; !err && i < sizeof spaces / sizeof *spaces; i++)
        err = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
    return err;
}

Status cage_filter(struct sock_filter **out, size_t *bytes) {
    *out = NULL;
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    if (!ctx) return status_error(E_ENV, "libseccomp: no memory for the filter");
    int fd = -1, err = add_rules(ctx);
    Status st = OK;
    if (!err && (fd = memfd_create("t2l-filter", MFD_CLOEXEC)) < 0) err = -errno;
    if (!err) err = seccomp_export_bpf(ctx, fd);
    struct stat s;
    if (!err && fstat(fd, &s) != 0) err = -errno;
    if (!err) {
        *bytes = (size_t)s.st_size;
        *out = malloc(*bytes);
        if (!*out || pread(fd, *out, *bytes, 0) != s.st_size) err = -ENOMEM;
    }
    if (err) {
        free(*out);
        *out = NULL;
        st = status_errno(-err, "libseccomp: cannot build the filter of the code cage");
    }
    if (fd >= 0) close(fd);
    seccomp_release(ctx);
    return st;
}
