import Glibc
import Posix

/// The environment that this process was started with. environ(7).
enum ProcessEnvironment {
    static let variables = Posix.variables(in: environ)
}
