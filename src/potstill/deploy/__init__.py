"""deploy: the chosen student in the forms that servers load, and the proof that it answers so."""

from potstill.deploy.student_forms import ExportedStudent, StudentForm, export_student
from potstill.deploy.verification import Verification, verify_student

__all__ = [
    "ExportedStudent",
    "StudentForm",
    "Verification",
    "export_student",
    "verify_student",
]
