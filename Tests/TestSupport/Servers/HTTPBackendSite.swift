import Posix
import Synchronization

/// `git http-backend` behind the same nginx with the same configuration: what the program is held
/// against. Its git is configured as the program configures its own.
package final class HTTPBackendSite: GitHost {
    private let nginx: Nginx
    private let wrapper: FCGIWrap
    private let directory: TemporaryDirectory
    private let root: String
    private let git: GitClient

    /// - Parameter settings: configuration of its git that overrides ours.
    package init(overriding settings: String = "") throws {
        directory = try TemporaryDirectory()
        root = try directory.directory("root")
        git = try GitClient()
        let configuration = try directory.file(
            "config",
            """
            [gc]
            \tauto = 0
            [receive]
            \tautogc = false
            \tfsckObjects = true
            \tadvertisePushOptions = true
            \tunpackLimit = 1
            [transfer]
            \tunpackLimit = 1
            [uploadpack]
            \tallowFilter = true
            \tallowAnySHA1InWant = true
            [uploadpackfilter]
            \tallow = false
            [uploadpackfilter "blob:none"]
            \tallow = true
            [uploadpackfilter "blob:limit"]
            \tallow = true
            [uploadpackfilter "object:type"]
            \tallow = true
            [uploadpackfilter "tree"]
            \tallow = true
            \tmaxDepth = 0
            [uploadpackfilter "combine"]
            \tallow = true
            \(settings)
            """)
        wrapper = try FCGIWrap(environment: [
            "PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": configuration,
            "GIT_HTTP_EXPORT_ALL": "1", "GIT_PROJECT_ROOT": root,
        ])
        let programs = try git.git("--exec-path")
        nginx = try Nginx(before: .cgi(wrapper, program: programs + "/git-http-backend"))
    }

    /// The one that all tests use.
    package static func shared() throws -> HTTPBackendSite { try sharedSite.get() }
    private static let sharedSite = Result { try HTTPBackendSite() }

    package var port: UInt16 { nginx.port }

    package func make(_ repository: String, _ options: [String]) throws {
        func value(_ option: String, else standard: String) -> String {
            options.firstIndex(of: option).map { options[$0 + 1] } ?? standard
        }
        try git.git(
            "init", "-q", "--bare",
            "--object-format=\(value("--object-format", else: "sha1"))",
            "--initial-branch=\(value("--default-branch", else: "main"))",
            "\(root)/\(repository).git")
    }
}
