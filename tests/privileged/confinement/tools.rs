//! Tools that agents use, under the default confinement: in the project, offline. One that is not installed is passed over.

use super::{NONE, put_in_force};
use crate::common::Machine;
use std::path::Path;

/// Each with the program that it needs.
const JOBS: [(&str, &str); 11] = [
    (
        "/usr/bin/git",
        "git init -q repo && cd repo && git config user.name a && git config user.email a@example.com && echo 1 >a &&
         git add a && git commit -qm one && git switch -qc two && echo 2 >>a && git commit -qam two &&
         git switch -q - && git merge -q two && git worktree add -q ../tree && git gc -q && git clone -q . ../clone",
    ),
    ("/usr/bin/cargo", "cargo new --quiet --vcs none hello && cd hello && cargo build --quiet --offline && cargo test --quiet --offline"),
    ("/usr/bin/gcc", "printf 'int main(void){return 0;}' >m.c && gcc -g -o m m.c && ./m && mkdir -p sub && mv m sub/ && ln sub/m n"),
    ("/usr/bin/gdb", "printf 'int main(void){return 3;}' >g.c && gcc -g -o g g.c && gdb -batch -ex 'break main' -ex run -ex bt -ex continue ./g | grep 'exited with code 03'"),
    ("/usr/bin/node", "node -e 'const fs = require(\"fs\"); fs.writeFileSync(\"n.txt\", \"x\"); const s = require(\"http\").createServer((q, r) => r.end(\"hi\")).listen(0, () => fetch(\"http://127.0.0.1:\" + s.address().port).then(r => r.text()).then(t => { if (t !== \"hi\") throw t; s.close(); }))'"),
    ("/usr/bin/npm", "mkdir -p p && cd p && npm init -y >/dev/null && npm pkg set scripts.build='echo built >out' && npm run --silent build && test -s out"),
    ("/usr/bin/python3", "python3 -c 'import multiprocessing as m, tempfile, os\nif __name__ == \"__main__\":\n  with m.Pool(2) as p: assert p.map(abs, [-1, 2]) == [1, 2]\n  with tempfile.TemporaryDirectory() as d: os.rename(os.path.join(d, \".\") and tempfile.mkdtemp(dir=d), d + \"/x\")\n  m.Lock()'"),
    ("/usr/bin/tmux", "tmux -L t_pv new-session -d 'sleep 5' && tmux -L t_pv ls && tmux -L t_pv kill-server"),
    ("/usr/bin/vim", "printf 'a\\n' >v && vim -es -u NONE -c '%s/a/b/' -c wq v && grep -q b v"),
    ("/usr/bin/strace", "strace -o /dev/null true"),
    ("/usr/bin/make", "printf 'all:\\n\\techo x >made\\n' >Makefile && make -s && test -s made && tar cf t.tar made && tar xf t.tar && rm -rf t.tar made"),
];

#[test]
fn what_agents_use_works() {
    let Some(machine) = Machine::take() else { return };
    let human = machine.human();
    let mut tried = 0;
    for confine in [NONE, ""] {
        put_in_force(&machine, confine);
        for (i, (program, job)) in JOBS.iter().enumerate() {
            if !Path::new(program).exists() {
                continue;
            }
            tried += 1;
            // What runs under the test's own PATH only is not what agents use.
            let dir = format!("w{i}{}", confine.len());
            let line = format!("set -e; export PATH=/usr/bin:/bin; mkdir {dir}; cd {dir}; {job}");
            let outcome = human.run(&["agentuser", "run", "--", "bash", "-c", &line]);
            assert!(outcome.status.success(), "{program}, confine {confine:?}: {outcome:?}");
        }
    }
    assert!(tried >= 6, "too few of the tools are installed to tell anything");
}
