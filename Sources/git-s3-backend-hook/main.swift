import Bridge
import Glibc

// git's pre-receive hook in every workspace. It is a program of its own, which loads neither
// libcurl nor libcrypto, because every push starts it.
exit(HookEnd.run())
